# GET /case-records/{crn}/risks/mappa, asked of NDH.
#
# in:  {method, params: {crn}, query, headers}     out: {path}
{path: "/secure/offenders/crn/\(.params.crn | @uri)/risk/mappa"}

# Asks for the case record of a CRN, in upper case: the legacy API ignores the case of letters, the standard API does not.
#
# in:  {method, params: {crn}, query, headers}     out: {path, query}
#
# The query is dropped: what it could say (failOnDuplicate, includeProbationAreaTeams) the standard API does not know.
{path: "/case-records/\(.params.crn | ascii_upcase | @uri)", query: null}

# GET /case-records/{identifier}, asked of the 2018 generation of the Delius API: two requests.
#
# in:  {method, params: {identifier}, query, headers}     out: {parts: {all, registrations}}
(.params.identifier | if test("^[A-Z][0-9]{6}$") then "crn/\(.)" else "nomsNumber/\(@uri)" end) as $person
| "/api/offenders/\($person)" as $base
| {parts: {all: {path: "\($base)/all"}, registrations: {path: "\($base)/registrations"}}}

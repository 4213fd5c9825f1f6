# GET /case-records/{identifier}, asked of NDH: four legacy requests, by CRN or by NOMS number.
#
# in:  {method, params: {identifier}, query, headers}     out: {parts: {all, registrations, resourcing, managers}}
#
# An identifier of neither form is asked for as it is and found by nobody; the response program answers it with 400.
(.params.identifier | if test("^[A-Z][0-9]{6}$") then "crn/\(.)" else "nomsNumber/\(@uri)" end) as $person
| "/secure/offenders/\($person)" as $base
| {
    parts: {
      all: {path: "\($base)/all"},
      registrations: {path: "\($base)/registrations"},
      resourcing: {path: "\($base)/risk/resourcing/latest"},
      managers: {path: "\($base)/allOffenderManagers"}
    }
  }

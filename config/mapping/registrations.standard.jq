# GET …/offenders/nomsNumber/{nomsNumber}/registrations, answered from GET /case-records/{nomsNumber}.
#
# in:  {status, body, params}     out: {status, body}
#
# Cannot be mapped, because the standard API reduces it on purpose: every register but MAPPA and victim liaison,
# registrations that are no longer active, a MAPPA registration of level 0, identifiers, dates, notes, teams, officers,
# categories; and whether victim liaison was INVI or DASO: it is sent as INVI.

def asked: .params | .nomsNumber // .crn // "";

def refusal($status; $text): {status: $status, body: {status: $status, developerMessage: $text}};
def message: (.body | objects | (.message, .error) | strings | select(. != "")) ;

# What is no 200, in the legacy shape. Only the text of a 404 differs from route to route; a body that is no JSON
# (a page of an ingress) or none at all is tolerated.
def refused($missing):
  # A 404 that the API did not say is a wrong address or a page of an ingress, and nobody is unknown because of it.
  if .status == 404 and first(message, null) == null then error("a 404 without a message of the API")
  elif .status == 404 then refusal(404; $missing)
  elif .status == 400 and first(message, null) == "UnrecognisedIdentifierType" then refusal(404; $missing)
  elif .status == 409 then
    ([.body | objects | .message | strings | capture("(?<n>[0-9]+) results").n] | first // "several") as $n
    | refusal(409; "Expecting only a single active offender but found \($n) offenders with noms number \(asked)")
  elif .status < 400 then error("a reply that is neither 200 nor a refusal")
  else refusal(.status; first(message, "The standard API answered \(.status)")) end;

# What is said of a person here is said by absence too, so both fields have to be there.
def registrations:
  (if .mappaLevel | . == 1 or . == 2 or . == 3 then
     {type: {code: "MAPP"}, registerLevel: {code: "M\(.mappaLevel)"}, active: true}
   elif .mappaLevel == 0 then empty
   else error("no mappaLevel of 0 to 3") end),
  (if .vloAssigned == true then {type: {code: "INVI"}, active: true}
   elif .vloAssigned == false then empty
   else error("no vloAssigned") end);

if .status == 200 then
  [.body | objects | registrations] as $registrations
  | if .body | type != "object" then error("no case record")
    else {status: 200, body: (if $registrations == [] then {} else {$registrations} end)} end
else refused("No offender found") end

# GET …/offenders/crn/{crn}/risk/mappa, answered from GET /case-records/{crn}/risks/mappa.
#
# in:  {status, body, params}     out: {status, body}
#
# Cannot be mapped: team, officer, probationArea, notes (reduced). The standard API takes the registration that began
# last, the legacy API the one that was created last: they may be two.

def asked: .params | if .nomsNumber then "noms number \(.nomsNumber)" else "crn \(.crn // "")" end;

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
    | refusal(409; "Expecting only a single active offender but found \($n) offenders with \(asked)")
  elif .status < 400 then error("a reply that is neither 200 nor a refusal")
  else refusal(.status; first(message, "The standard API answered \(.status)")) end;

def kept: map_values(values);

if .status == 200 then
  .body
  | if type != "object" then error("no MAPPA detail") else . end
  | {
      status: 200,
      body: ({
        level: (.level // 0),
        levelDescription: (.levelDescription // if .level == null then "Missing level" else null end),
        category: (.category // 0),
        categoryDescription: (.categoryDescription // if .category == null then "Missing category" else null end),
        startDate,
        reviewDate
      } | kept)
    }
elif .status == 404 and (first(message, "") | startswith("Person ")) then refusal(404; "Offender not found")
else refused("MAPPA details for offender not found") end

# GET …/offenders/nomsNumber/{nomsNumber}/risk/resourcing/latest, answered from GET /case-records/{nomsNumber}.
#
# in:  {status, body, params}     out: {status, body}
#
# Cannot be mapped: the date of the decision and its conviction (reduced); a draft, which is absent like no decision and
# becomes a 404; a decision of a finished event, which the standard API does not look at.

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

def decided($enhanced; $code): {status: 200, body: {decision: {code: $code}, enhancedResourcing: $enhanced}};

if .status == 200 then
  if .body | type == "object" and (.crn | type) == "string" then
    .body.resourcing as $resourcing
    | if $resourcing == "ENHANCED" then decided(true; "R")
      elif $resourcing == "NORMAL" then decided(false; "A")
      elif $resourcing == null then refusal(404; "Resourcing details for offender not found")
      else error("a resourcing that is neither ENHANCED nor NORMAL") end
  else error("no case record") end
else refused("Offender not found") end

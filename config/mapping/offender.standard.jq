# GET …/offenders/nomsNumber/{nomsNumber}/all, answered from GET /case-records/{nomsNumber}.
#
# in:  {status, body, params}     out: {status, body}
#
# Cannot be mapped, because the standard API does not give it, and is left out: offenderId, names, date of birth, gender,
# addresses, aliases, booking number, former managers, trustOfficer, fromDate, toDate, allocationReason, borough, the
# area's description, restriction and exclusion flags, activeProbationManagedSentence.
# Differs in meaning: probationArea.nps is the person's resourcing here, where it was the provider of the manager.

# A person without a tier has no key currentTier, as on the legacy side. For a client that raises an error when the key
# is missing but accepts null, write {currentTier: null} here:
def no_tier: {};

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

def present: map_values(select(. != null and . != "" and . != [] and . != {}));
def case_record: if type == "object" and (.crn | type) == "string" then . else error("no case record") end;

# A manager without a name is a placeholder; so is one whose staff code ends in U.
def unallocated: .name == null or (.code // "" | endswith("U"));
def staff_code: .code // (if .name == null then (.team.code | strings | . + "U") else null end) // null;
def names:
  if .name == null then {forenames: "Unallocated", surname: "Staff"}
  else .name | {forenames: ([.forename, .middleName | strings | select(. != "")] | join(" ")), surname} end;
def team:
  .team // {} | {code, description, localDeliveryUnit, district: .localDeliveryUnit} | present;

def manager:
  {
    active: true,
    staff: ({code: staff_code, unallocated: unallocated} + names | present),
    team: team,
    probationArea: {code: (.team.code | strings | .[0:3])}
  };

if .status == 200 then
  (asked | ascii_upcase) as $asked
  | .body | case_record
  | (.resourcing != "NORMAL") as $nps
  | {
      status: 200,
      body: ({
        otherIds: ({crn, nomsNumber: (.nomsId // $asked)} | present),
        offenderManagers: [.manager | objects | manager | .probationArea.nps = $nps]
      } + (if .currentTier == null then no_tier else {currentTier} end)
        | if .offenderManagers == [] then del(.offenderManagers) else . end)
    }
else refused("Offender with nomsNumber \(asked) not found") end

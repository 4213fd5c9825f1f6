# GET /case-records/{crn}/risks/mappa, answered from GET …/offenders/crn/{crn}/risk/mappa.
#
# in:  {status, body, params}     out: {status, body}
#
# Differs in meaning: the legacy API takes the registration that was created last, the standard API the one that began
# last. What the standard API does not give (team, officer, probationArea, notes) is dropped.
def refusal($status; $text): {status: $status, body: {status: $status, message: $text}};
def message: .body | objects | (.developerMessage, .message, .error) | strings | select(. != "");
def kept: map_values(values);

if .status == 200 then
  .body
  | if type != "object" then error("no MAPPA detail") else . end
  | {
      status: 200,
      body: ({
        level: (if .levelDescription == "Missing level" then null else .level end),
        levelDescription: (if .levelDescription == "Missing level" then null else .levelDescription end),
        category: (if .categoryDescription == "Missing category" then null else .category end),
        categoryDescription: (if .categoryDescription == "Missing category" then null else .categoryDescription end),
        startDate,
        reviewDate
      } | kept)
    }
elif .status == 404 and first(message, "") == "Offender not found" then
  refusal(404; "Person with crn of \(.params.crn) not found")
elif .status == 404 then refusal(404; "MappaDetail with crn of \(.params.crn) not found")
elif .status == 401 or .status == 403 then refusal(502; "NDH does not let the sidecar in")
elif .status < 400 then error("a reply that is neither 200 nor a refusal")
else refusal(.status; first(message, "NDH answered \(.status)")) end

# View of GET …/nomsNumber/{nomsNumber}/all, on both legs: what the application keeps of it, and how it reads it.
#
# Of several active managers the first counts, as the application takes it. A placeholder ("Unallocated Staff") is nobody.
# The legacy API leaves out what is empty, the standard one does not: empty text is no text, on both legs.

def text: if type == "string" and . != "" then . else null end;

def nobody: .unallocated == true or (.code | type == "string" and endswith("U"));

def name: [(.surname, .forenames) | text | values] | if . == [] then null else join(", ") end;

if .status == 200 and (.body | type == "object") then
  (
    .body
    | (.currentTier | text) as $tier
    | (first(.offenderManagers[]? | select(.active == true)) // {}) as $manager
    | {
        crn: (.otherIds.crn | text),
        tier: $tier,
        tierLetter: ($tier | if . then .[:1] else null end),
        comName: ($manager.staff // {} | if nobody then null else name end),
        teamCode: ($manager.team.code | text),
        teamName: ($manager.team.description | text),
        lduCode: ($manager.team.localDeliveryUnit.code | text)
      }
  )?
else
  null
end

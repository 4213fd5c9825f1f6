# View of the standard reply that stands for …/all: what the application would keep of it.
#
# Taken from what the API sent: GET /case-records/{nomsNumber}. A manager without a name is nobody yet. The first version
# of the API gave the middle name apart, later ones give it with the forename.

def text: if type == "string" and . != "" then . else null end;

def forenames: [(.forename, .middleName) | text | values] | join(" ");

def name: [(.surname, forenames) | text | values] | if . == [] then null else join(", ") end;

if .raw.status == 200 and (.raw.body | type == "object") then
  (
    .raw.body
    | (.currentTier | text) as $tier
    | {
        crn: (.crn | text),
        tier: $tier,
        tierLetter: ($tier | if . then .[:1] else null end),
        comName: (.manager.name // {} | name),
        teamCode: (.manager.team.code | text),
        teamName: (.manager.team.description | text),
        lduCode: (.manager.team.localDeliveryUnit.code | text)
      }
  )?
else
  null
end

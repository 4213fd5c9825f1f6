# View of GET /case-records/{identifier} by the standard API: the common view at once.

def text: if type == "string" and . != "" then . else null end;

def forenames: [(.forename, .middleName) | text | values] | join(" ");

def name: [(.surname, forenames) | text | values] | if . == [] then null else join(", ") end;

def resourcing:
  if . == "ENHANCED" then { enhancedResourcing: true, resourcingSource: "decision" }
  elif . == "NORMAL" then { enhancedResourcing: false, resourcingSource: "decision" }
  elif . == null then { enhancedResourcing: null, resourcingSource: "absent" }
  else { enhancedResourcing: null, resourcingSource: "unrecognised" }
  end;

if .status == 200 and (.body | type == "object") then
  (
    .body
    | (.currentTier | text) as $tier
    | {
        crn: (.crn | text),
        tier: $tier,
        tierLetter: ($tier | if . then .[:1] else null end),
        comName: (.manager.name // {} | name),
        comEmail: (.manager.email | text),
        teamCode: (.manager.team.code | text),
        teamName: (.manager.team.description | text),
        lduCode: (.manager.team.localDeliveryUnit.code | text),
        mappaLevel,
        vloAssigned
      }
      + (.resourcing | resourcing)
  )?
else
  null
end

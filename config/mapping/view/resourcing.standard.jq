# View of the standard reply that stands for …/risk/resourcing/latest.
#
# Taken from what the API sent: in the legacy shape "absent" is a 404, which would read as a decision by default.

if .raw.status == 200 and (.raw.body | type == "object") then
  .raw.body.resourcing
  | if . == "ENHANCED" then { enhancedResourcing: true, resourcingSource: "decision" }
    elif . == "NORMAL" then { enhancedResourcing: false, resourcingSource: "decision" }
    elif . == null then { enhancedResourcing: null, resourcingSource: "absent" }
    else { enhancedResourcing: null, resourcingSource: "unrecognised" }
    end
else
  null
end

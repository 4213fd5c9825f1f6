# View of GET …/risk/resourcing/latest by NDH: enhanced or not, and how the application came to know.
#
# No decision, as a draft or as a 404 about the decision, counted as enhanced. A 404 about the person is no view. A 404
# whose body cannot be read is one about the decision, as the application took it.

def no_person: (.body.developerMessage? // "") | type == "string" and startswith("Offender");

if .status == 404 and (no_person | not) then
  { enhancedResourcing: true, resourcingSource: "defaulted-not-found" }
elif .status == 200 and (.body | type == "object") then
  if .body.enhancedResourcing | type == "boolean" then
    { enhancedResourcing: .body.enhancedResourcing, resourcingSource: "decision" }
  else
    { enhancedResourcing: true, resourcingSource: "defaulted-draft" }
  end
else
  null
end

# View of GET …/allOffenderManagers, on both legs: the e-mail address of the community manager.
#
# The application read isResponsibleOfficer too and kept nothing of it. The first community manager counts; a
# placeholder has no address.

def text: if type == "string" and . != "" then . else null end;

def nobody: .isUnallocated == true or (.staffCode | type == "string" and endswith("U"));

if .status == 200 and (.body | type == "array") then
  (
    (first(.body[] | objects | select(.isPrisonOffenderManager == false)) // {})
    | { comEmail: (if nobody then null else .staff.email | text end) }
  )?
else
  null
end

# View of the standard reply that stands for …/allOffenderManagers: the manager's e-mail address.

def text: if type == "string" and . != "" then . else null end;

if .raw.status == 200 and (.raw.body | type == "object") then
  (
    { comEmail: (.raw.body.manager.email | text) }
  )?
else
  null
end

# View of the standard reply that stands for …/registrations: the MAPPA level and the victim liaison as the API gives them.

if .raw.status == 200 and (.raw.body | type == "object") then
  (
    .raw.body | { mappaLevel, vloAssigned }
  )?
else
  null
end

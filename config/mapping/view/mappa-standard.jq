# View of GET /case-records/{crn}/risks/mappa: the MAPPA details.
#
# Absent level and category are 0, as the legacy API has it.

def text: if type == "string" and . != "" then . else null end;

def described($missing): text | if . == $missing then null else . end;

if .raw.status == 200 and (.raw.body | type == "object") then
  (
    .raw.body
    | {
        level: (.level // 0),
        levelDescription: (.levelDescription | described("Missing level")),
        category: (.category // 0),
        categoryDescription: (.categoryDescription | described("Missing category")),
        startDate: (.startDate | text),
        reviewDate: (.reviewDate | text)
      }
  )?
else
  null
end

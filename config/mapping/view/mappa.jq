# View of GET …/crn/{crn}/risk/mappa and of GET /case-records/{crn}/risks/mappa, on both legs: the MAPPA details without team, officer, area and notes.
#
# The legacy API writes "Missing level" and 0 where there is none, the standard one leaves it out: both are none here.

def text: if type == "string" and . != "" then . else null end;

def described($missing): text | if . == $missing then null else . end;

if .status == 200 and (.body | type == "object") then
  (
    .body
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

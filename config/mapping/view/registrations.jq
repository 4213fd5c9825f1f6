# View of GET …/registrations, on both legs: the MAPPA level and the victim liaison, as the application reads them.
#
# The application takes the highest last character of the level codes that begin with `M`, whatever the register. What the
# standard side would say of the same registrations stands under `evidence`, which is not compared: the rules of known
# differences (`known/mappa-*.jq`) need it. {} and [] are nobody's registrations; the API of 2018 sent a bare array.

def code: if type == "string" then . else "" end;

# the last character as a number, 0 if it is no digit
def last_digit: .[-1:] | (explode[0] // 48) - 48 | if 0 <= . and . <= 9 then . else 0 end;

def is_mapp: .type.code == "MAPP";

def highest: map(.registerLevel.code | code | last_digit) | max // 0;

# the standard side knows three levels, and takes all else for none
def level: {M1: 1, M2: 2, M3: 3}[.registerLevel.code | code] // 0;

def start: .startDate | if type == "string" then . else "" end;

if .status == 200 and (.body | type == "object" or type == "array") then
  (
    [.body | (if type == "array" then .[] else .registrations[]? end) | objects | select(.active == true)]
    | map(select(.registerLevel.code | code | startswith("M"))) as $levelled
    | map(select(is_mapp)) as $mapp
    | ($levelled | highest) as $highest
    | ($mapp | map(start) | max) as $latest
    | {
        mappaLevel: $highest,
        vloAssigned: any(.[]; .type.code == "INVI" or .type.code == "DASO"),
        evidence: {
          # active MAPPA registrations
          mapp: ($mapp | length),
          # whether one of them has the highest level
          highestIsMapp: ($levelled | map(select(is_mapp)) | highest == $highest),
          # levels of those that started last: several, when they started on one day
          latest: (if $mapp == [] then [0] else [$mapp[] | select(start == $latest) | level] | unique end)
        }
      }
  )?
else
  null
end

# View of GET /case-records/{identifier} when NDH answers it, in parts: what the application kept of the four legacy replies.
#
# The parts are `all`, `registrations`, `resourcing` and `managers`, as the API sent them: the mapped reply follows the
# better rules of the standard side, and what the application has kept until now is what must be explained. Each part is read as
# the view of its own route reads it (`offender.jq` and its neighbours, where the reasons stand).

def text: if type == "string" and . != "" then . else null end;

def of_offender:
  def nobody: .unallocated == true or (.code | type == "string" and endswith("U"));
  def name: [(.surname, .forenames) | text | values] | if . == [] then null else join(", ") end;
  (.currentTier | text) as $tier
  | (first(.offenderManagers[]? | select(.active == true)) // {}) as $manager
  | {
      crn: (.otherIds.crn | text),
      tier: $tier,
      tierLetter: ($tier | if . then .[:1] else null end),
      comName: ($manager.staff // {} | if nobody then null else name end),
      teamCode: ($manager.team.code | text),
      teamName: ($manager.team.description | text),
      lduCode: ($manager.team.localDeliveryUnit.code | text)
    };

def of_registrations:
  def code: if type == "string" then . else "" end;
  def last_digit: .[-1:] | (explode[0] // 48) - 48 | if 0 <= . and . <= 9 then . else 0 end;
  def is_mapp: .type.code == "MAPP";
  def highest: map(.registerLevel.code | code | last_digit) | max // 0;
  def level: {M1: 1, M2: 2, M3: 3}[.registerLevel.code | code] // 0;
  def start: .startDate | if type == "string" then . else "" end;
  [.registrations[]? | objects | select(.active == true)]
  | map(select(.registerLevel.code | code | startswith("M"))) as $levelled
  | map(select(is_mapp)) as $mapp
  | ($levelled | highest) as $highest
  | ($mapp | map(start) | max) as $latest
  | {
      mappaLevel: $highest,
      vloAssigned: any(.[]; .type.code == "INVI" or .type.code == "DASO"),
      evidence: {
        mapp: ($mapp | length),
        highestIsMapp: ($levelled | map(select(is_mapp)) | highest == $highest),
        latest: (if $mapp == [] then [0] else [$mapp[] | select(start == $latest) | level] | unique end)
      }
    };

def of_resourcing:
  if .status == 404 then
    { enhancedResourcing: true, resourcingSource: "defaulted-not-found" }
  elif .body.enhancedResourcing | type == "boolean" then
    { enhancedResourcing: .body.enhancedResourcing, resourcingSource: "decision" }
  else
    { enhancedResourcing: true, resourcingSource: "defaulted-draft" }
  end;

def of_managers:
  def nobody: .isUnallocated == true or (.staffCode | type == "string" and endswith("U"));
  (first(.[]? | objects | select(.isPrisonOffenderManager == false)) // {})
  | { comEmail: (if nobody then null else .staff.email | text end) };

def readable:
  (.all.body | type == "object")
  and (.registrations.body | type == "object")
  and (.resourcing | .status == 404 or (.body | type == "object"))
  and (.managers.body | type == "array");

# all four or nothing: an absent field has a meaning
if .status == 200 and (.parts | readable) then
  (
    (.parts.all.body | of_offender)
    + (.parts.registrations.body | of_registrations)
    + (.parts.resourcing | of_resourcing)
    + (.parts.managers.body | of_managers)
  )?
else
  null
end

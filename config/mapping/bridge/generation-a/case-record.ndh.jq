# GET /case-records/{identifier}, answered from two replies of the 2018 generation of the Delius API.
#
# in:  {parts: {all, registrations: {status, body}}, params}     out: {status, body}
#
# Cannot be mapped, because that API has none of it: currentTier, resourcing, the manager's code and e-mail, team code,
# local delivery unit. They are absent, and absence has a meaning on this route (no tier, no decision): serve only a
# client that takes tier and resourcing from elsewhere.

def refusal($status; $text): {status: $status, body: {status: $status, message: $text}};
def by_crn: .params.identifier | test("^[A-Z][0-9]{6}$");
def by_noms: .params.identifier | test("^[A-Z][0-9]{4}[A-Z]{2}$");
def missing:
  refusal(404; "Person with \(if by_crn then "crn" else "nomsId" end) of \(.params.identifier) not found");
def present: map_values(select(. != null and . != "" and . != [] and . != {}));

# Active MAPPA registrations only, the one that began last, M1 to M3; else 0.
def mappa_level:
  [.[] | select(.active == true and .type.code == "MAPP")]
  | max_by(.startDate // "")
  | {"M1": 1, "M2": 2, "M3": 3}[.registerLevel.code // ""] // 0;
def vlo_assigned: any(.[]; .active == true and (.type.code | . == "INVI" or . == "DASO"));

# The first active one. Its staff has no code, so a placeholder is known by its name.
def active_manager: [.offenderManagers // [] | .[] | select(.active == true and .softDeleted != true)] | first;
def name:
  .staff // .trustOfficer // {}
  | if "\(.forenames) \(.surname)" | test("^(unallocated|inactive)\\b|\\b(unallocated|inactive) staff$"; "i") then null
    else {forename: .forenames, surname} | present end;
def failed: refusal(502; "A part of the record could not be had from NDH");

.parts as $p
| [$p | .all, .registrations | .status] as $person
| if (by_crn or by_noms) | not then refusal(400; "UnrecognisedIdentifierType")
  elif any($person[]; . == 404) then missing
  elif any($person[]; . == 409) then refusal(409; "The identifier stands for more than one person")
  elif any($person[]; . != 200)
    or ([$p.all.body.otherIds?.crn?] | first | type) != "string"
    or ($p.registrations.body | type) != "array"
  then failed
  else
    ($p.all.body | active_manager) as $manager
    | if $manager == null then refusal(500; "The record has no active manager")
      else {
        status: 200,
        body: ({
          crn: $p.all.body.otherIds.crn,
          nomsId: $p.all.body.otherIds.nomsNumber,
          manager: {team: ($manager.team // {} | {description} | present), name: ($manager | name)},
          mappaLevel: ($p.registrations.body | mappa_level),
          vloAssigned: ($p.registrations.body | vlo_assigned)
        } | .manager |= present | present)
      } end
  end

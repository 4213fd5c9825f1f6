# GET /case-records/{identifier}, answered from four legacy replies.
#
# in:  {parts: {all, registrations, resourcing, managers: {status, body}}, params}     out: {status, body}
#
# An absent field has a meaning, so there is the whole answer or none: a part that failed makes 502, except that the
# resourcing may be missing. Cannot be mapped: rosh (the codes of its registers are not settled). Differs in meaning: the
# legacy API also finds the decision of a finished event; a draft and no decision are both absent.

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

# The first active one, as the application takes it.
def active_manager: [.offenderManagers // [] | .[] | select(.active == true and .softDeleted != true)] | first;
def unallocated: .staff | .unallocated == true or (.code // "" | endswith("U"));

# The community manager's entry must be of the same person: two managers are never mixed into one. Nothing: they differ.
def email($code):
  [.[] | select(.isPrisonOffenderManager == false)]
  | if . == [] then null
    else first(.[] | select($code == null or .staffCode == null or .staffCode == $code)) | .staff.email
      | if type == "string" then trim else null end
    end;

def manager($managers):
  {team: (.team // {}
    | {code, description, localDeliveryUnit: (.localDeliveryUnit // {} | {code, description} | present)}
    | present)}
  + if unallocated then {}
    else
      .staff as $staff
      | first(($managers | email($staff.code)), false) as $email
      | if $email == false then error("two managers") else . end
      | {code: $staff.code, name: ($staff | {forename: .forenames, surname} | present), $email}
    end
  | present;

def failed: refusal(502; "A part of the record could not be had from NDH");

.params.identifier as $identifier
| .parts as $p
| [$p | .all, .registrations | .status] as $person
| [$p | .all, .registrations, .resourcing, .managers | .status] as $every
| if (by_crn or by_noms) | not then refusal(400; "UnrecognisedIdentifierType")
  elif any($person[]; . == 404) then missing
  elif any($every[]; . == 409) then
    ([$p[] | select(.status == 409) | .body | objects | .developerMessage | strings] | first) as $text
    | refusal(409; $text // "The identifier stands for more than one person")
  elif any($p | .all, .registrations, .managers; .status != 200)
    or ($p.resourcing.status | . != 200 and . != 404)
    or ([$p.all.body.otherIds?.crn?] | first | type) != "string"
    or ($p.registrations.body | type) != "object"
    or ($p.managers.body | type) != "array"
  then failed
  else
    ($p.all.body | active_manager) as $manager
    | if $manager == null then refusal(500; "The record has no active manager")
      else
        ($p.registrations.body.registrations // []) as $registrations
        | try {
            status: 200,
            body: ({
              crn: $p.all.body.otherIds.crn,
              nomsId: $p.all.body.otherIds.nomsNumber,
              currentTier: $p.all.body.currentTier,
              resourcing: ($p.resourcing | if .status == 404 then null else .body.enhancedResourcing end
                | if . == true then "ENHANCED" elif . == false then "NORMAL" else null end),
              manager: ($manager | manager($p.managers.body)),
              mappaLevel: ($registrations | mappa_level),
              vloAssigned: ($registrations | vlo_assigned)
            } | present)
          } catch failed
      end
  end

//! Made-up people: one way in which two sides can differ per row, with the verdict that the mapping between the two sides
//! gives it.

use serde_json::{Value, json};

use super::bench::{Person, Reply};

/// A person on whom both sides agree in every field.
pub(super) fn agreed() -> Person {
    let team = json!({
        "code": "N99T07",
        "description": "Inventshire OMU",
        "localDeliveryUnit": {"code": "N99ILDU", "description": "Inventshire LDU"},
    });
    let all = json!({
        "offenderId": 2_990_977_001_u64,
        "otherIds": {"crn": "Z977001", "nomsNumber": "Z9771XA"},
        "currentTier": "B-2",
        "offenderManagers": [
            {"active": true, "staff": {"code": "N99A701", "forenames": "Perpetua Joy", "surname": "Quillfeather", "unallocated": false}, "team": team},
            {"active": false, "staff": {"code": "N99A702", "forenames": "Former", "surname": "Manager"}, "team": {"code": "N99T99"}},
        ],
    });
    let managers = json!([
        {"staffCode": "TSAA701", "isPrisonOffenderManager": true, "staff": {"email": "pom@example.org"}},
        {"staffCode": "N99A701", "isPrisonOffenderManager": false, "isUnallocated": false, "staff": {"forenames": "Perpetua Joy", "surname": "Quillfeather", "email": "perpetua.quillfeather@example.org"}, "team": team},
    ]);
    let standard = json!({
        "crn": "Z977001",
        "nomsId": "Z9771XA",
        "currentTier": "B-2",
        "resourcing": "ENHANCED",
        "manager": {
            "team": team,
            "code": "N99A701",
            "name": {"forename": "Perpetua Joy", "surname": "Quillfeather"},
            "email": "perpetua.quillfeather@example.org",
        },
        "mappaLevel": 2,
        "vloAssigned": true,
    });
    Person {
        all: Reply::new(200, all),
        registrations: registered(&[
            json!({"type": {"code": "MAPP"}, "registerLevel": {"code": "M2"}, "startDate": "2024-03-01", "active": true}),
            json!({"type": {"code": "INVI"}, "startDate": "2023-03-01", "active": true}),
        ]),
        resourcing: Reply::new(
            200,
            json!({"decision": {"code": "R"}, "enhancedResourcing": true, "relatedConvictionId": 7}),
        ),
        managers: Reply::new(200, managers),
        standard: Reply::new(200, standard),
    }
}

fn registered(all: &[Value]) -> Reply {
    Reply::new(200, json!({ "registrations": all }))
}

fn registration(kind: &str, level: &str, start: &str) -> Value {
    json!({"type": {"code": kind}, "registerLevel": {"code": level}, "startDate": start, "active": true})
}

fn inactive(mut registration: Value) -> Value {
    registration["active"] = json!(false);
    registration
}

/// These MAPPA levels on the two sides, and no victim liaison.
fn levels(person: &mut Person, registrations: &[Value], standard: u8) {
    person.registrations = registered(registrations);
    person.standard.body["vloAssigned"] = json!(false);
    person.standard.body["mappaLevel"] = json!(standard);
}

fn manager(person: &mut Person) -> &mut Value {
    &mut person.all.body["offenderManagers"][0]
}

fn leave_out(value: &mut Value, key: &str) {
    value
        .as_object_mut()
        .expect("an object")
        .remove(key)
        .expect("it was there");
}

fn no_such_person(person: &mut Person) {
    person.all = Reply::legacy(404, "Offender with nomsNumber Z9771XA not found");
    person.registrations = Reply::legacy(404, "No offender found");
    person.resourcing = Reply::legacy(404, "Offender not found");
    person.managers = Reply::legacy(404, "Offender with NOMS number Z9771XA not found");
}

fn duplicate(person: &mut Person) {
    let said = || Reply::legacy(409, "Expecting only a single active offender but found 2");
    (person.all, person.registrations, person.resourcing) = (said(), said(), said());
    person.managers = Reply::new(500, json!({"status": 500, "error": "Internal Server Error"}));
}

fn standard_says(person: &mut Person, status: u16) {
    person.standard = Reply::new(status, json!({"status": status, "message": "said of Z9771XA"}));
}

/// What makes the person differ, the verdict, and each difference as `place rule` (`!`: no rule).
pub(super) type Row = (&'static str, fn(&mut Person), &'static str, &'static [&'static str]);

const MATCH: &[&str] = &[];

#[rustfmt::skip] // a row is a line
pub(super) const ROWS: &[Row] = &[
    ("nothing", |_| {}, "match", MATCH),
    // tier
    ("no tier on either side", |p| { leave_out(&mut p.all.body, "currentTier"); leave_out(&mut p.standard.body, "currentTier"); }, "match", MATCH),
    ("an empty tier, which the legacy side leaves out", |p| { leave_out(&mut p.all.body, "currentTier"); p.standard.body["currentTier"] = json!(""); }, "match", MATCH),
    ("an empty tier on the legacy side", |p| { p.all.body["currentTier"] = json!(""); leave_out(&mut p.standard.body, "currentTier"); }, "match", MATCH),
    ("no tier on the standard side", |p| leave_out(&mut p.standard.body, "currentTier"), "mismatch", &["/tier !", "/tierLetter !"]),
    ("no tier on the legacy side", |p| leave_out(&mut p.all.body, "currentTier"), "mismatch", &["/tier !", "/tierLetter !"]),
    ("another tier with the same letter", |p| p.standard.body["currentTier"] = json!("B-3"), "mismatch", &["/tier !"]),
    ("another tier", |p| p.standard.body["currentTier"] = json!("A-2"), "mismatch", &["/tier !", "/tierLetter !"]),
    ("a tier with a space", |p| p.standard.body["currentTier"] = json!("B-2 "), "mismatch", &["/tier !"]),
    // crn
    ("another CRN", |p| p.standard.body["crn"] = json!("Z977002"), "mismatch", &["/crn !"]),
    ("the letter case of the CRN", |p| p.standard.body["crn"] = json!("z977001"), "mismatch", &["/crn !"]),
    // resourcing
    ("both normal", |p| { p.resourcing.body["enhancedResourcing"] = json!(false); p.standard.body["resourcing"] = json!("NORMAL"); }, "match", MATCH),
    ("opposite decisions, normal by the standard side", |p| p.standard.body["resourcing"] = json!("NORMAL"), "mismatch", &["/enhancedResourcing !"]),
    ("opposite decisions, normal by NDH", |p| p.resourcing.body["enhancedResourcing"] = json!(false), "mismatch", &["/enhancedResourcing !"]),
    ("no decision", |p| { p.resourcing = Reply::legacy(404, "Resourcing details for offender not found"); leave_out(&mut p.standard.body, "resourcing"); }, "known", &["/enhancedResourcing resourcing-default", "/resourcingSource resourcing-default"]),
    ("no decision, in a body that cannot be read", |p| { p.resourcing = Reply::new(404, Value::Null); leave_out(&mut p.standard.body, "resourcing"); }, "known", &["/enhancedResourcing resourcing-default", "/resourcingSource resourcing-default"]),
    ("a draft", |p| { p.resourcing.body = json!({"relatedConvictionId": 7}); leave_out(&mut p.standard.body, "resourcing"); }, "known", &["/enhancedResourcing resourcing-default", "/resourcingSource resourcing-default"]),
    ("a draft in an empty body", |p| { p.resourcing.body = json!({}); leave_out(&mut p.standard.body, "resourcing"); }, "known", &["/enhancedResourcing resourcing-default", "/resourcingSource resourcing-default"]),
    ("a decision of a finished event, enhanced", |p| leave_out(&mut p.standard.body, "resourcing"), "known", &["/enhancedResourcing resourcing-scope-or-defect", "/resourcingSource resourcing-scope-or-defect"]),
    ("a decision of a finished event, normal", |p| { p.resourcing.body["enhancedResourcing"] = json!(false); leave_out(&mut p.standard.body, "resourcing"); }, "known", &["/enhancedResourcing resourcing-scope-or-defect", "/resourcingSource resourcing-scope-or-defect"]),
    ("no decision by NDH, an enhanced one by the standard side", |p| p.resourcing = Reply::legacy(404, "Resourcing details for offender not found"), "known", &["/resourcingSource resourcing-same-outcome"]),
    ("no decision by NDH, a normal one by the standard side", |p| { p.resourcing = Reply::legacy(404, "Resourcing details for offender not found"); p.standard.body["resourcing"] = json!("NORMAL"); }, "mismatch", &["/enhancedResourcing !", "/resourcingSource !"]),
    ("a draft by NDH, a normal decision by the standard side", |p| { p.resourcing.body = json!({}); p.standard.body["resourcing"] = json!("NORMAL"); }, "mismatch", &["/enhancedResourcing !", "/resourcingSource !"]),
    // MAPPA: highest versus latest
    ("two active MAPPA, the higher is the older", |p| levels(p, &[registration("MAPP", "M1", "2024-05-01"), registration("MAPP", "M3", "2023-02-10")], 1), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("the same in the other order", |p| levels(p, &[registration("MAPP", "M3", "2023-02-10"), registration("MAPP", "M1", "2024-05-01")], 1), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("two active MAPPA, the higher is the latest", |p| levels(p, &[registration("MAPP", "M3", "2024-05-01"), registration("MAPP", "M1", "2023-02-10")], 3), "match", MATCH),
    ("two active MAPPA, the standard side has neither the highest nor the latest", |p| levels(p, &[registration("MAPP", "M3", "2024-05-01"), registration("MAPP", "M1", "2023-02-10")], 1), "mismatch", &["/mappaLevel !"]),
    ("three active MAPPA, the standard side has the middle one", |p| levels(p, &[registration("MAPP", "M1", "2024-05-01"), registration("MAPP", "M2", "2023-05-01"), registration("MAPP", "M3", "2022-05-01")], 2), "mismatch", &["/mappaLevel !"]),
    ("two MAPPA of one day, the standard side takes the lower", |p| levels(p, &[registration("MAPP", "M2", "2024-05-01"), registration("MAPP", "M1", "2024-05-01")], 1), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("two MAPPA of one day, the standard side takes the higher", |p| levels(p, &[registration("MAPP", "M1", "2024-05-01"), registration("MAPP", "M2", "2024-05-01")], 2), "match", MATCH),
    ("two MAPPA of one day, the standard side takes a third", |p| levels(p, &[registration("MAPP", "M2", "2024-05-01"), registration("MAPP", "M3", "2024-05-01")], 1), "mismatch", &["/mappaLevel !"]),
    ("higher with one active MAPPA", |p| levels(p, &[registration("MAPP", "M3", "2024-05-01")], 1), "mismatch", &["/mappaLevel !"]),
    ("higher with one active and one inactive MAPPA", |p| levels(p, &[inactive(registration("MAPP", "M1", "2024-05-01")), registration("MAPP", "M3", "2023-05-01")], 1), "mismatch", &["/mappaLevel !"]),
    ("lower with two active MAPPA", |p| levels(p, &[registration("MAPP", "M1", "2024-05-01"), registration("MAPP", "M2", "2023-05-01")], 3), "mismatch", &["/mappaLevel !"]),
    ("two active MAPPA, the latest without a level", |p| levels(p, &[json!({"type": {"code": "MAPP"}, "startDate": "2024-05-01", "active": true}), registration("MAPP", "M2", "2023-05-01")], 0), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("two active MAPPA, the latest of level 0", |p| levels(p, &[registration("MAPP", "M0", "2024-05-01"), registration("MAPP", "M2", "2023-05-01")], 0), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("two active MAPPA, the older of a level that is none", |p| levels(p, &[registration("MAPP", "M9", "2023-05-01"), registration("MAPP", "M3", "2024-05-01")], 3), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    ("two active MAPPA below a level of another register, the standard side has the latest", |p| levels(p, &[registration("MAPP", "M1", "2023-05-01"), registration("MAPP", "M2", "2024-05-01"), registration("LIFE", "MX9", "2022-05-01")], 2), "known", &["/mappaLevel mappa-highest-versus-latest"]),
    // MAPPA: the consumer's rule
    ("a level of MAPPA that is none", |p| levels(p, &[registration("MAPP", "M9", "2024-05-01")], 0), "known", &["/mappaLevel mappa-rule-too-wide"]),
    ("a level of another register", |p| levels(p, &[registration("LIFE", "MX9", "2024-05-01")], 0), "known", &["/mappaLevel mappa-rule-too-wide"]),
    ("a level of another register that looks like one of MAPPA", |p| levels(p, &[registration("RVHR", "MED2", "2024-05-01")], 0), "known", &["/mappaLevel mappa-rule-too-wide"]),
    ("a level of another register beside MAPPA of level 0", |p| levels(p, &[registration("LIFE", "M3", "2024-05-01"), registration("MAPP", "M0", "2024-05-01")], 0), "known", &["/mappaLevel mappa-rule-too-wide"]),
    ("a level of another register hides that the standard side has lost one", |p| levels(p, &[registration("LIFE", "MX9", "2024-05-01"), registration("MAPP", "M2", "2024-05-01")], 0), "mismatch", &["/mappaLevel !"]),
    ("a level of another register above the only MAPPA", |p| levels(p, &[registration("LIFE", "M3", "2024-05-01"), registration("MAPP", "M2", "2024-05-01")], 2), "mismatch", &["/mappaLevel !"]),
    ("a MAPPA level lost by the standard side", |p| levels(p, &[registration("MAPP", "M2", "2024-05-01")], 0), "mismatch", &["/mappaLevel !"]),
    ("a MAPPA level invented by the standard side", |p| levels(p, &[], 1), "mismatch", &["/mappaLevel !"]),
    ("the same level, of another register", |p| levels(p, &[registration("LIFE", "M2", "2024-05-01")], 2), "match", MATCH),
    ("a level that does not begin with M", |p| levels(p, &[registration("RHRH", "H3", "2024-05-01")], 0), "match", MATCH),
    ("a level that ends in no digit", |p| levels(p, &[registration("LIFE", "MAX", "2024-05-01")], 0), "match", MATCH),
    ("an inactive MAPPA", |p| levels(p, &[inactive(registration("MAPP", "M3", "2024-05-01"))], 0), "match", MATCH),
    ("no registrations at all", |p| { levels(p, &[], 0); p.registrations.body = json!({}); }, "match", MATCH),
    // victim liaison
    ("a victim liaison by the other scheme", |p| { levels(p, &[json!({"type": {"code": "DASO"}, "active": true})], 0); p.standard.body["vloAssigned"] = json!(true); }, "match", MATCH),
    ("an inactive victim liaison, INVI", |p| levels(p, &[json!({"type": {"code": "INVI"}, "active": false})], 0), "match", MATCH),
    ("an inactive victim liaison, DASO, that the standard side still has", |p| { levels(p, &[json!({"type": {"code": "DASO"}, "active": false})], 0); p.standard.body["vloAssigned"] = json!(true); }, "mismatch", &["/vloAssigned !"]),
    ("a victim liaison that the standard side lacks", |p| p.standard.body["vloAssigned"] = json!(false), "mismatch", &["/vloAssigned !"]),
    // the manager's name
    ("a name with two spaces", |p| manager(p)["staff"]["forenames"] = json!("Perpetua  Joy"), "known", &["/comName name-cosmetic"]),
    ("a name with spaces around it", |p| p.standard.body["manager"]["name"]["surname"] = json!(" Quillfeather "), "known", &["/comName name-cosmetic"]),
    ("a name with a space at its end", |p| p.standard.body["manager"]["name"]["forename"] = json!("Perpetua Joy "), "known", &["/comName name-cosmetic"]),
    ("a name in other letters", |p| p.standard.body["manager"]["name"]["surname"] = json!("QUILLFEATHER"), "mismatch", &["/comName !"]),
    ("another forename", |p| p.standard.body["manager"]["name"]["forename"] = json!("Perpetua"), "mismatch", &["/comName !"]),
    ("a name without its space", |p| p.standard.body["manager"]["name"]["forename"] = json!("PerpetuaJoy"), "mismatch", &["/comName !"]),
    ("the middle name apart, as the first version had it", |p| p.standard.body["manager"]["name"] = json!({"forename": "Perpetua", "middleName": "Joy", "surname": "Quillfeather"}), "match", MATCH),
    // no manager
    ("unallocated on both sides", |p| { unallocate_legacy(p); unallocate_standard(p); }, "match", MATCH),
    ("unallocated on the legacy side only", unallocate_legacy, "mismatch", &["/comEmail !", "/comName !"]),
    ("unallocated on the standard side only", unallocate_standard, "mismatch", &["/comEmail !", "/comName !"]),
    ("unallocated by the flags alone", |p| { manager(p)["staff"]["unallocated"] = json!(true); p.managers.body[1]["isUnallocated"] = json!(true); unallocate_standard(p); }, "match", MATCH),
    ("unallocated by the staff codes alone", |p| { manager(p)["staff"]["code"] = json!("N99UATU"); p.managers.body[1]["staffCode"] = json!("N99UATU"); unallocate_standard(p); }, "match", MATCH),
    ("several active managers: the first counts", |p| { let mut second = manager(p).clone(); second["staff"]["surname"] = json!("Second"); second["team"]["code"] = json!("N99T08"); p.all.body["offenderManagers"].as_array_mut().expect("managers").insert(1, second); }, "match", MATCH),
    ("several active managers: the standard side has the second", |p| { let mut first = manager(p).clone(); first["staff"]["surname"] = json!("First"); p.all.body["offenderManagers"].as_array_mut().expect("managers").insert(0, first); }, "mismatch", &["/comName !"]),
    ("an inactive manager before the active one", |p| p.all.body["offenderManagers"].as_array_mut().expect("managers").reverse(), "match", MATCH),
    // e-mail
    ("an address with spaces around it", |p| com(p)["email"] = json!(" perpetua.quillfeather@example.org\t"), "known", &["/comEmail email-cosmetic"]),
    ("an address in other letters", |p| com(p)["email"] = json!("Perpetua.QUILLFEATHER@Example.org"), "known", &["/comEmail email-cosmetic"]),
    ("an address in other letters, with a space", |p| p.standard.body["manager"]["email"] = json!("Perpetua.Quillfeather@example.org "), "known", &["/comEmail email-cosmetic"]),
    ("another address", |p| p.standard.body["manager"]["email"] = json!("perpetua.quillfeather2@example.org"), "mismatch", &["/comEmail !"]),
    ("another domain and other letters", |p| p.standard.body["manager"]["email"] = json!("Perpetua.Quillfeather@example.com"), "mismatch", &["/comEmail !"]),
    ("a space within the address", |p| p.standard.body["manager"]["email"] = json!("perpetua. quillfeather@example.org"), "mismatch", &["/comEmail !"]),
    ("no address on the standard side", |p| leave_out(&mut p.standard.body["manager"], "email"), "mismatch", &["/comEmail !"]),
    ("no address on the legacy side", |p| leave_out(com(p), "email"), "mismatch", &["/comEmail !"]),
    ("no address on either side", |p| { leave_out(com(p), "email"); leave_out(&mut p.standard.body["manager"], "email"); }, "match", MATCH),
    ("no community manager among all managers", |p| { p.managers.body = json!([]); leave_out(&mut p.standard.body["manager"], "email"); }, "match", MATCH),
    // team and LDU
    ("another team code", |p| p.standard.body["manager"]["team"]["code"] = json!("N99T08"), "mismatch", &["/teamCode !"]),
    ("another team name", |p| p.standard.body["manager"]["team"]["description"] = json!("Inventshire OMU 2"), "mismatch", &["/teamName !"]),
    ("a team name with two spaces", |p| p.standard.body["manager"]["team"]["description"] = json!("Inventshire  OMU"), "mismatch", &["/teamName !"]),
    ("another LDU", |p| p.standard.body["manager"]["team"]["localDeliveryUnit"]["code"] = json!("N99JLDU"), "mismatch", &["/lduCode !"]),
    ("no LDU on either side", |p| { leave_out(&mut manager(p)["team"], "localDeliveryUnit"); leave_out(&mut p.standard.body["manager"]["team"], "localDeliveryUnit"); }, "match", MATCH),
    ("no LDU on the standard side", |p| leave_out(&mut p.standard.body["manager"]["team"], "localDeliveryUnit"), "mismatch", &["/lduCode !"]),
    // what is not kept may differ
    ("fields that nobody keeps", |p| { p.standard.body["nomsId"] = json!("Z9771XB"); p.standard.body["rosh"] = json!({"level": "HIGH"}); p.standard.body["manager"]["code"] = json!("N99A799"); manager(p)["team"]["telephone"] = json!("0"); com(p)["phoneNumber"] = json!("1"); }, "match", MATCH),
    // several at once
    ("two known differences", |p| { p.resourcing = Reply::legacy(404, "Resourcing details for offender not found"); leave_out(&mut p.standard.body, "resourcing"); com(p)["email"] = json!("perpetua.quillfeather@example.org "); }, "known", &["/comEmail email-cosmetic", "/enhancedResourcing resourcing-default", "/resourcingSource resourcing-default"]),
    ("a known difference does not excuse another", |p| { leave_out(&mut p.standard.body, "resourcing"); p.standard.body["manager"]["team"]["code"] = json!("N99T08"); }, "mismatch", &["/enhancedResourcing resourcing-scope-or-defect", "/resourcingSource resourcing-scope-or-defect", "/teamCode !"]),
    // statuses
    ("unknown to both", |p| { no_such_person(p); standard_says(p, 404); }, "match", MATCH),
    ("not linked", |p| standard_says(p, 404), "missing_on_standard", &[" !"]),
    ("not linked, without a decision", |p| { p.resourcing = Reply::legacy(404, "Resourcing details for offender not found"); standard_says(p, 404); }, "missing_on_standard", &[" !"]),
    ("missing on the legacy side", no_such_person, "missing_on_ndh", &[" !"]),
    ("duplicate on both", |p| { duplicate(p); standard_says(p, 409); }, "match", MATCH),
    ("duplicate on the standard side only", |p| standard_says(p, 409), "mismatch", &[" !"]),
    ("the letter case of the number, which the standard side refuses", |p| standard_says(p, 400), "mismatch", &[" !"]),
    ("unknown to NDH, refused by form by the standard side", |p| { no_such_person(p); standard_says(p, 400); }, "mismatch", &[" !"]),
    ("no token for the standard side", |p| standard_says(p, 401), "refused", MATCH),
    ("no role on the standard side", |p| standard_says(p, 403), "refused", MATCH),
    ("the standard side fails", |p| standard_says(p, 500), "not_comparable", MATCH),
    ("the standard side is away", |p| standard_says(p, 503), "not_comparable", MATCH),
    ("the standard side fails on a duplicate", |p| { duplicate(p); standard_says(p, 500); }, "not_comparable", MATCH),
];

fn unallocate_legacy(person: &mut Person) {
    manager(person)["staff"] =
        json!({"code": "N99UATU", "forenames": "Unallocated", "surname": "Staff", "unallocated": true});
    person.managers.body[1]["staffCode"] = json!("N99UATU");
    person.managers.body[1]["isUnallocated"] = json!(true);
}

fn unallocate_standard(person: &mut Person) {
    let manager = &mut person.standard.body["manager"];
    *manager = json!({"team": manager["team"]});
}

/// The staff of the community manager among all managers.
fn com(person: &mut Person) -> &mut Value {
    &mut person.managers.body[1]["staff"]
}

/// What makes a part of the person fail, and verdict and differences of the four routes together and of the composite one.
pub(super) type Part = (&'static str, fn(&mut Person), Told, Told);
pub(super) type Told = (&'static str, &'static [&'static str]);

/// Where one part fails, the four routes tell it of that part and the composite route of the whole.
#[rustfmt::skip] // a row is a line
pub(super) const PARTS: &[Part] = &[
    ("managers fail", |p| p.managers = Reply::legacy(500, "Internal Server Error"), ("not_comparable", MATCH), ("not_comparable", MATCH)),
    ("tier fails", |p| p.all = Reply::new(502, Value::Null), ("not_comparable", MATCH), ("not_comparable", MATCH)),
    ("managers fail and the tier differs", |p| { p.managers = Reply::new(503, Value::Null); p.standard.body["currentTier"] = json!("B-4"); }, ("mismatch", &["/tier !"]), ("not_comparable", MATCH)),
    ("a 200 without offender", |p| p.all.body = Value::Null, ("mismatch", &[" !"]), ("not_comparable", MATCH)),
    ("a 200 without registrations", |p| p.registrations.body = Value::Null, ("mismatch", &[" !"]), ("not_comparable", MATCH)),
    ("a 200 without resourcing", |p| p.resourcing.body = Value::Null, ("mismatch", &[" !"]), ("mismatch", &[" !"])),
    ("a 200 without managers", |p| p.managers.body = Value::Null, ("mismatch", &[" !"]), ("not_comparable", MATCH)),
    ("a 200 without standard record", |p| p.standard.body = Value::Null, ("not_comparable", MATCH), ("mismatch", &[" !"])),
    // the mapping makes nothing of them, and the application would get nothing
    ("no word on the victim liaison", |p| leave_out(&mut p.standard.body, "vloAssigned"), ("not_comparable", MATCH), ("mismatch", &["/vloAssigned !"])),
    ("a word that is no resourcing", |p| p.standard.body["resourcing"] = json!("RETAINED"), ("not_comparable", MATCH), ("mismatch", &["/enhancedResourcing !", "/resourcingSource !"])),
    // the composite record needs them as they should be
    ("registrations as a bare array", |p| p.registrations.body = p.registrations.body["registrations"].take(), ("match", MATCH), ("not_comparable", MATCH)),
    ("no active manager on the legacy side", |p| manager(p)["active"] = json!(false), ("mismatch", &["/comName !", "/lduCode !", "/teamCode !", "/teamName !"]), ("not_comparable", MATCH)),
    ("the application's token is refused", |p| p.resourcing = Reply::new(401, Value::Null), ("refused", MATCH), ("not_comparable", MATCH)),
    // the managers of a duplicate are a 500, which says nothing beside a 200
    ("the standard side filters more", duplicate, ("not_comparable", &[" standard-filters-more"]), ("known", &[" standard-filters-more"])),
    ("the standard side filters more and has no decision", |p| { duplicate(p); leave_out(&mut p.standard.body, "resourcing"); }, ("not_comparable", &[" standard-filters-more"]), ("known", &[" standard-filters-more"])),
    ("nobody at NDH, and no decision on the standard side", |p| { no_such_person(p); leave_out(&mut p.standard.body, "resourcing"); }, ("missing_on_ndh", &[" !"]), ("missing_on_ndh", &[" !"])),
    ("a decision about nobody", |p| p.resourcing = Reply::legacy(404, "Offender not found"), ("missing_on_ndh", &[" !"]), ("known", &["/resourcingSource resourcing-same-outcome"])),
];

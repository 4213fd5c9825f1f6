# The same address but for spaces around it and the case of its letters; spaces alone are no address.
def address: if type == "string" then trim | ascii_downcase | select(. != "") else empty end;
[.ndh.view.comEmail | address] == [.standard.view.comEmail | address]

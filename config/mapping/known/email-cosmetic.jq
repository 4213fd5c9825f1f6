# The same address but for spaces around it and the case of its letters.
def address: if type == "string" then trim | ascii_downcase else null end;
(.ndh.view.comEmail | address) as $address
| $address != null and $address == (.standard.view.comEmail | address)

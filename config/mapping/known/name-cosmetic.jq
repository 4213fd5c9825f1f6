# The same name but for the number of spaces.
def collapsed: if type == "string" then gsub("\\s+"; " ") | gsub(" ,"; ",") | trim else null end;
(.ndh.view.comName | collapsed) as $name
| $name != null and $name == (.standard.view.comName | collapsed)

# The legacy side has no decision (a 404, or a draft) and the standard side says nothing.
.standard.view.resourcingSource == "absent"
and (.ndh.view.resourcingSource | . == "defaulted-not-found" or . == "defaulted-draft")

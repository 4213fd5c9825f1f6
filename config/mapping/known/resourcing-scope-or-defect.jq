# The legacy side has a decision and the standard side says nothing. It would not, of a finished event; but the reply does
# not tell whether the conviction is finished, so that a defect of the standard side looks alike: count it.
.ndh.view.resourcingSource == "decision" and .standard.view.resourcingSource == "absent"

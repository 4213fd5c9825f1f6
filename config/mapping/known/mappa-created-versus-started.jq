# Several active MAPPA registrations: the legacy side takes the one created last, the standard side the one that started last,
# which can then only be a later one. Without different dates a difference is not explained by this.
.ndh.view.startDate < .standard.view.startDate and .ndh.view.startDate != null

# The legacy side finds several records with the number, the standard side one.
.ndh.status == 409 and .standard.status == 200

# The legacy side finds several records with the number, the standard side one. A person without a decision is there too,
# although the reply that stands for the decision is then a 404 with a view.
.ndh.status == 409 and (.standard.status == 200 or .standard.view != null)

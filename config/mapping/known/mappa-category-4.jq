# The legacy side knows the categories 1 to 3 and takes the fourth for none.
.ndh.view.category == 0 and .standard.view.category == 4

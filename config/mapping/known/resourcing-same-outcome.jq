# How resourcing is known differs, what is known does not: the application sees the same.
.ndh.view.enhancedResourcing == .standard.view.enhancedResourcing

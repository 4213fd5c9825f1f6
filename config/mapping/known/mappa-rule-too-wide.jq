# The application took a level that is none of MAPPA's, or one of another register; the standard side rightly says 0. Where a
# MAPPA registration would give a level, 0 is not right.
.standard.view.mappaLevel as $standard
| .ndh.view
| $standard == 0
  and (.mappaLevel > 3 or (.evidence.highestIsMapp | not))
  and any(.evidence.latest[]; . == 0)

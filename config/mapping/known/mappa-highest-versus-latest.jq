# Several active MAPPA registrations: the application took the highest level, the standard side takes the one that started
# last (any of those that did, when several started on that day).
.standard.view.mappaLevel as $standard
| .ndh.view
| .mappaLevel > $standard and .evidence.mapp >= 2 and any(.evidence.latest[]; . == $standard)

# Asks for the case record of a NOMS number, in upper case: the legacy API ignores the case of letters, the standard API does not.
#
# in:  {method, params: {nomsNumber}, query, headers}     out: {path, query}
#
# The query is dropped: what it could say (failOnDuplicate, includeProbationAreaTeams) the standard API does not know.
{path: "/case-records/\(.params.nomsNumber | ascii_upcase | @uri)", query: null}

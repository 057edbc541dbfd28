"""The local stack of `make demo` and `make invoke`; nothing of it is deployed to AWS.

tools        installs the pinned tools (the system's Python runs it, the rest runs in .venv/aws)
entry        start and end of a program
processes    programs in their own process groups, ended by their ids
build        the builds of cargo, with progress
aws          the local AWS
stand_in     the stand-in Genesys Cloud and target
ministack    the changes that template.yaml needs to work in the local AWS
stack        all of the above, with template.yaml deployed
demo         scenarios -> messages -> driver -> snapshot -> checks and report
ingest_part  ingest as a server and behind its URL: http_scenarios -> http_request
arn_targets  targets that dead letters name
operations   the operator's command
monitoring   the place of every event; metrics compared with log lines
environment  the size of the variables, before make deploy
invoke       one event of events/ through the function
"""

"""The local stack of `make demo` and `make invoke`; nothing of it is deployed to AWS.

tools        installs the pinned tools (the system's Python runs it, the rest runs in .venv/aws)
entry        how a program begins and ends
processes    programs in groups of their own, ended by their ids
build        cargo's builds and their progress
aws          the local AWS
stand_in     the stand-in Genesys Cloud and target
ministack    the changes that template.yaml needs to work in the local AWS
stack        all of these together, with template.yaml deployed
demo         scenarios -> messages -> driver -> snapshot -> checks and report
ingest_part  http_scenarios -> http_request; ingest as a server and behind its URL
arn_targets  targets that dead letters name
operations   the operator's command
monitoring   the place of every event; metrics against log lines
invoke       one event of events/ through the function
"""

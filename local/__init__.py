"""The local stack: what `make demo` and `make invoke` run, and nothing that is deployed.

tools        installs the pinned tools (the system's Python runs it, the rest runs in .venv/aws)
entry        how a program begins and ends
processes    programs in groups of their own, ended by their ids
build        the function and the stand-in Genesys Cloud
aws          the local AWS
stand_in     the stand-in Genesys Cloud and target
bridge       what template.yaml needs to work in the local AWS
stack        all of these together, with template.yaml deployed
demo         scenarios -> letters -> sending -> observation -> checks and report
monitoring   the place of every event; metrics against log lines
invoke       one event of events/ through the function
"""

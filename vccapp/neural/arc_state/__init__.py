"""The official program of STATE (`state` of the package arc-state), run as it is, in an environment of its own.

    program    where it is, and which versions
    install    put it into an environment of the workspace
    command    the words of `state tx train` and `state tx infer`
    size       how large its networks are, and what a training takes
    data       the cells, the split and the vectors as files that it reads
    process    one run of it: started, watched, ended, and why it failed
    follow     its log and its metrics, read while it works
    work       a training and a prediction, from one to the other

Nothing of it is imported here, and nothing that it writes is unpickled here: its pickles are read by itself alone.
"""

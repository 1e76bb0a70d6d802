"""How fast a placement should be: a roofline over memories, cards and links, calibrated by what was measured.

    accelerators   what cards can do, by their product's name: a table
    hardware       what a worker has
    shape          what has to be read and computed of a model for one token
    legs           the way of a token: what is read where, and how long that takes, with the figures of `rates`
    llama_cpp      that way when whole layers lie in RAM, on cards, and on cards of other workers (`rpc`)
    vllm           that way when layers are cut over cards, which add up what they computed (`collectives`)
    predict        the answer
    calibration    by what measurements differ from it, per engine and device

Nothing here knows a fleet, a snapshot or a proto.
"""

"""Whose the bytes of weights are, and what llama.cpp does with them."""

Q4_0, IQ4_NL = 2, 20


def test_repacked_bytes_are_those_of_matrices_of_some_types(new_llama, facts_of):
    gguf = new_llama()
    gguf.tensor("blk.1.ffn_up.weight", (32, 64), kind=Q4_0, size=64 * 18)
    gguf.tensor("blk.1.ffn_norm.weight", (32,), kind=Q4_0, size=18)
    gguf.tensor("output_extra.weight", (32, 8), kind=IQ4_NL, size=8 * 18)
    gguf.tensor("output_odd.weight", (32, 4), kind=IQ4_NL, size=4 * 18)  # eight rows become one
    facts = facts_of(gguf)
    assert facts.block_repack_bytes == (0, 64 * 18)
    assert facts.output_repack_bytes == 8 * 18
    assert facts.block_bytes[1] == 4096 + 64 * 18 + 18


def test_experts_are_repacked_as_their_matrices_are(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="qwen3moe")
    gguf.tensor("blk.0.ffn_up_exps.weight", (32, 8, 4), kind=Q4_0, size=4 * 8 * 18)
    gguf.tensor("blk.0.ffn_up_shexp.weight", (32, 16), kind=Q4_0, size=16 * 18)
    gguf.tensor("blk.1.ffn_gate_inp.weight", (32, 4))
    for name, number in {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 8}.items():
        gguf.key(f"qwen3moe.{name}", kinds.U32, number)
    facts = facts_of(gguf)
    assert (facts.expert_count, facts.expert_used_count, facts.expert_feed_forward_length) == (4, 2, 8)
    assert facts.feed_forward_lengths == (8, 8)
    assert facts.block_expert_bytes == (4 * 8 * 18, 0)
    assert facts.block_repack_bytes == (4 * 8 * 18 + 16 * 18, 0)
    assert facts.shared_expert_feed_forward_length == 16


def test_a_tied_embedding_is_repacked_as_the_output_head(new_gguf, new_llama, facts_of):
    def model(*heads):
        gguf = new_gguf(keys=new_llama().keys).tensor("token_embd.weight", (32, 8), kind=Q4_0, size=8 * 18)
        for head in heads:
            gguf.tensor(head, (32, 8))
        return facts_of(gguf)

    assert model().output_repack_bytes == model().token_embedding_bytes == 8 * 18
    assert model("output.weight").output_repack_bytes == 0


def test_own_embeddings_are_looked_up_and_what_makes_them_is_repacked(new_llama, facts_of):
    gguf = new_llama(architecture="gemma4")
    gguf.tensor("per_layer_token_embd.weight", (32, 16), kind=Q4_0, size=16 * 18)
    gguf.tensor("per_layer_model_proj.weight", (32, 8), kind=Q4_0, size=8 * 18)
    facts = facts_of(gguf)
    assert (facts.other_bytes, facts.output_repack_bytes) == (24 * 18, 8 * 18)


def test_what_is_repacked_need_not_stay_mapped_at_the_ends_of_a_file(new_gguf, new_llama, kinds, facts_of):
    keys = new_llama().keys

    def model(*tensors):
        gguf = new_gguf(keys=list(keys))
        for name, repacked in tensors:
            gguf.tensor(name, (32, 8), kind=Q4_0 if repacked else 0, size=8 * 18 if repacked else 8 * 32 * 4)
        return gguf

    embedding, first, second, head = (
        ("token_embd.weight", False),
        ("blk.0.ffn_up.weight", True),
        ("blk.1.ffn_up.weight", True),
        ("output.weight", False),
    )
    assert facts_of(model(embedding, first, second, head)).unmapped_bytes == 0
    assert facts_of(model(first, embedding, head, second)).unmapped_bytes == 2 * 8 * 18
    assert facts_of(model(first, embedding, second, head)).unmapped_bytes == 8 * 18
    shards = model(embedding, head), model(first, second)
    for number, shard in enumerate(shards):
        shard.key("split.no", kinds.U16, number).key("split.count", kinds.U16, 2)
    assert facts_of(*shards).unmapped_bytes == 2 * 8 * 18


def test_the_largest_tensor_of_a_block_that_is_loaded(new_llama, kinds, facts_of):
    gguf = new_llama(architecture="glm4moe").tensor("blk.1.nextn.eh_proj.weight", (32, 640))
    assert facts_of(gguf).largest_block_tensor_bytes == 4 * 32 * 640
    gguf.key("glm4moe.nextn_predict_layers", kinds.U32, 1)
    assert facts_of(gguf).largest_block_tensor_bytes == 4 * 32 * 32

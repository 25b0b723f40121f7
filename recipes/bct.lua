-- Every stored part of a transformer in small blocks: embedding, matrix products and the head as integers of which a
-- block of neighbours shares a power of two (a shift), norms, biases and position tables in sixteen bits.
-- stories260K, blocks of 64: 8 bits, 8.13 bits a weight, perplexity 3.690 -> 3.694 (KL 0.0011); 4 bits, 4.13: 5.47 (0.41).
recipe{
  name   = "bct",
  about  = "blocks that share a power of two, over all stored parts",
  source = "BCT (Dong et al., arXiv 2304.01483): its stored tensors. Activations, GELU and softmax stay float here",
}
local bits   = param("bits", 8, {2, 8}, "width of a weight; the paper: 8 and 4")
local block  = param("block", 64, {0, 4096}, "neighbouring inputs that share a shift")
local others = param("others", "f16", {"f16", "bf16", "f32"}, "norms, biases, position tables")

local net  = model(arg.model or "data/models/text-llama.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  others = others,
  rule(".*", quantize{ bits = bits, group = block, scale = "e8m0" }),
})

report(evaluate(net, data.test))
save(net, "bct.safetensors")

-- Codes (by gptq's sweep) and scales with real zero points (by the normal equations) in turn, for the same output error.
-- ResNet-20 on CIFAR-10, all layers alike: KL to the original 0.048 at 3 bits (1,024 images; gptq 0.056 to 0.08, round to
-- nearest 1.35), 0.18 at 2 bits (256 images; gptq 0.44).
-- stories260K, 64 stories, all layers at 2 bits, the shared table too: perplexity 248 of 3.69 (gptq: thousands); the first and
-- the last layer at 8 bits 61 (gptq 983, bpdq 18).
recipe{
  name   = "decoupleq",
  about  = "integer part and float part of each layer in turn",
  source = "decoupleQ (Guo et al., 2024, arXiv 2404.12759)",
}
local bits    = param("bits", 2, {2, 8}, "width of a weight")
local group   = param("group", 0, {0, 1024}, "neighbouring weights that share a scale and a zero; 0: a whole row")
local turns   = param("turns", 6, {1, 100}, "turns of codes and scales")
local refine  = param("refine", "none", {"none", "cd"}, "cd: coordinate descent on the codes afterwards")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ solver = "decoupleq", bits = bits, sym = false, group = group, iterations = turns,
                       refine = refine }),
})

report(evaluate(net, data.test))
save(net, "decoupleq.safetensors")

-- The codes of a residual block are learned together on the block's output, behind the blocks already done.
-- ResNet-20 on CIFAR-10, all layers alike, 2 bits, 256 images: KL to the original 0.19 with the weights of the authors'
-- code, 0.22 with plain squares (their script's default), 0.82 with the squared gradients alone of the paper's equation,
-- where the few images that are wrong decide; gptq alone 0.83.
recipe{
  name   = "brecq",
  about  = "rounding learned block by block on the blocks' outputs",
  source = "BRECQ (Li et al., ICLR 2021, arXiv 2102.05426); window > 1: CBQ (Ding et al., arXiv 2312.07950)",
}
local bits       = param("bits", 3, {2, 8}, "width of a weight")
local window     = param("window", 1, {1, 8}, "blocks learned together, as in CBQ")
local solver     = param("solver", "gptq", {"rtn", "gptq", "adaround"}, "codes to begin with")
local loss       = param("loss", "fisher", {"fisher", "bare", "plain"}, "how differences of a block's output weigh")
local iterations = param("iterations", 300, {1, 100000}, "steps for each block; the authors take 20,000")
local samples    = param("samples", 256, {1, 100000}, "calibration samples")

local net   = model(arg.model or "data/models/digits-cnn.safetensors")
local data  = dataset(arg.data or default_data(net))
local calib = data.calib:sample(samples, 1)

compress(net, {
  calibrate = calib,
  rule(".*", quantize{ solver = solver, bits = bits, range = "mse" }),
})
reconstruct(net, calib, { iterations = iterations, window = window, loss = loss })

report(evaluate(net, data.test))
save(net, "brecq.safetensors")

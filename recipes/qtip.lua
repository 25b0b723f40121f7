-- QTIP as its authors have it: both sides of each weight rotated, runs of 256 as paths through a trellis of 2^16 states
-- whose values a hash looks up in a small table, errors carried on. Two minutes and more: the recipe trellis is the
-- quicker one. ResNet-20 / CIFAR-10, 256 images: 91.2 % of 91.5, KL 0.070 at 2.07 bits a weight; state = 12,
-- whose rings close better on layers this small: 0.048 (trellis: 0.044).
recipe{
  name   = "qtip",
  about  = "trellis codes of 65,536 states behind rotations of both sides, with feedback under H",
  source = "Tseng et al., QTIP (NeurIPS 2024, arXiv 2406.11235), algorithms 3 and 4, code HYB, without fine-tuning",
}
local bits    = param("bits", 2.0, {1.0, 4.0}, "bits a weight, whole ones; hyb has two weights a step")
local kind    = param("kind", "hyb", {"hyb", "1mad", "3inst"}, "values of the states")
local state   = param("state", 16, {8, 16}, "bits that name a value; each less halves the time")
local passes  = param("passes", 0, {0, 20}, "times that all runs are chosen again; the authors: none")
local samples = param("samples", 256, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule("first|last", quantize{ bits = 8 }),
  rule(".*", rotate{ side = "both" }, trellis{ bits = bits, code = kind, state = state, passes = passes }),
})

report(evaluate(net, data.test))
save(net, "qtip.safetensors")

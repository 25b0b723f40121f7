-- The block formats of ggml: super-blocks of 256 weights whose 4-bit codes have 6-bit scales and minima for each 32. With
-- range = "imatrix" a weight counts by the second moment of its input. Rows that blocks do not divide are filled up with
-- zeros, so small models do better with the types of 32. On ResNet-20 / CIFAR-10 q4_0 has a KL to the original of 0.050 with
-- imatrix and 0.070 without, at 4.54 bits a weight; stories260K in iq4_nl: perplexity 4.02 (3.69) at 4.61 bits.
recipe{
  name   = "k-quants",
  about  = "one of ggml's block formats, weighed by the inputs' second moments",
  source = "ggml (github.com/ggml-org/ggml): q4_K and its relatives, importance matrix",
}
local dtype   = param("dtype", "q4_0", {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq4_nl", "iq4_xs"}, "the format")
local range   = param("range", "imatrix", {"imatrix", "auto"}, "weighed by the inputs, or by the weights alone")
local samples = param("samples", 128, {1, 100000}, "calibration samples")

local net  = model(arg.model or "data/models/digits-cnn.safetensors")
local data = dataset(arg.data or default_data(net))

compress(net, {
  calibrate = data.calib:sample(samples, 1),
  rule(".*", quantize{ dtype = dtype, range = range }),
})

report(evaluate(net, data.test))
save(net, "k-quants.safetensors")

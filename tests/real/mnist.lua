-- MNIST, all of it: 60,000 training images, split into 50,000 and 10,000, and 10,000 test images (Y. LeCun, C. Cortes).
return {
  name = "mnist",
  folder = real("datasets/mnist"),
  train = { images = "train-images-idx3-ubyte.gz", labels = "train-labels-idx1-ubyte.gz" },
  test = { images = "t10k-images-idx3-ubyte.gz", labels = "t10k-labels-idx1-ubyte.gz" },
  shape = {1, 28, 28},
  scale = 1/255,
  classes = 10,
  split = { calib = 5, select = 1 },
  seed = 1,
}

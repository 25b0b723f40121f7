-- CIFAR-10 as others took it for their tables: all 2,000 training images to calibrate on, 1,000 test images (A. Krizhevsky,
-- "Learning multiple layers of features from tiny images", 2009).
return {
  name = "cifar10-all",
  folder = real("datasets/cifar10"),
  calib = { images = "calib2k_images_u8_nchw.npy", labels = "calib2k_labels_u8.npy" },
  test = { images = "test1k_images_u8_nchw.npy", labels = "test1k_labels_u8.npy" },
  shape = {3, 32, 32},
  scale = 1/255,
  mean = {0.485, 0.456, 0.406},
  std = {0.229, 0.224, 0.225},
  classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
  split = { calib = 1 },
  seed = 1,
}

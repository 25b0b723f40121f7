-- Layer: the layer under the cursor of the Layers panel, page by page: weights before and after, maps of magnitudes and
-- errors, singular values, the second moment of its inputs, its grid, its codes, its outliers.

local view = { title = "Layer", tab = "Layer", order = 30, column = "right", priority = 11, weight = 2,
  min_width = 40, min_height = 10,
  help = "Left and right walk through the pages, up and down through the layers. Before is the model's weight, after what "
    .. "the newest run of this session made of it (or the last file it saved). H computes the second moment of the "
    .. "inputs, + and - another output's grid or another array of codes, L logarithmic, a largest value or mean of maps." }

function view.draw()
  ui.look()
end

return view

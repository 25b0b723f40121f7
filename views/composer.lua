-- Composer: the rules of the recipe as rows. What is chosen here is written into the recipe's text.

local view = { title = "Composer", tab = "Recipe", order = 51, column = "right", priority = 8, weight = 3,
  min_width = 44, min_height = 6,
  help = "The rules of the recipe: which layers get which steps, the first rule that fits wins. a adds a rule (for a "
    .. "pattern, a layer, the marked layers), s a step; Right opens a step and changes its arguments, p makes a param "
    .. "of one. The recipe's text changes along; u undoes." }

function view.draw()
  ui.note(ui.recipe("state") == "changed" and "w writes it" or "")
  ui.rules()
end

return view

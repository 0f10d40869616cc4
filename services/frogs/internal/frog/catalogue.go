package frog

// Catalogue returns all frogs of this release in display order. Every store is filled from it, and
// the frontend has a drawing for each id.
func Catalogue() []Species {
	return []Species{
		{"red-eyed-tree-frog", "Red-eyed tree frog", "Agalychnis callidryas"},
		{"desert-rain-frog", "Desert rain frog", "Breviceps macrops"},
		{"strawberry-poison-frog", "Strawberry poison frog", "Oophaga pumilio"},
		{"wallaces-flying-frog", "Wallace’s flying frog", "Rhacophorus nigropalmatus"},
		{"golden-poison-frog", "Golden poison frog", "Phyllobates terribilis"},
		{"american-bullfrog", "American bullfrog", "Lithobates catesbeianus"},
		{"glass-frog", "Glass frog", "Hyalinobatrachium valerioi"},
		{"tomato-frog", "Tomato frog", "Dyscophus antongilii"},
		{"blue-poison-dart-frog", "Blue poison dart frog", "Dendrobates tinctorius"},
		{"water-holding-frog", "Water-holding frog", "Ranoidea platycephala"},
		{"horned-frog", "Pacman frog", "Ceratophrys ornata"},
		{"tree-frog", "European tree frog", "Hyla arborea"},
		{"mossy-frog", "Mossy frog", "Theloderma corticale"},
		{"common-frog", "Common frog", "Rana temporaria"},
		{"purple-frog", "Purple frog", "Nasikabatrachus sahyadrensis"},
		{"darwins-frog", "Darwin’s frog", "Rhinoderma darwinii"},
	}
}

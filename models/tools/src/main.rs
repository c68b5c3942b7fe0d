fn main() {
    let a: Vec<String> = std::env::args().collect();
    let make = match a[1].as_str() { "quantise" => facegate_models::convert::Make::Quantise, _ => facegate_models::convert::Make::Espdl };
    let o = make.run(&std::fs::read(&a[2]).unwrap()).unwrap();
    std::fs::write(&a[3], o).unwrap();
}
